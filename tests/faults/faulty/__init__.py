"""What breaks a subject for a judge that does not know: proxy, repositories, servers."""
