"""Operations on servers of ours: they are stopped, restarted, reloaded and limited while they work."""
