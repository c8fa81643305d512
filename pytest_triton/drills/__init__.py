"""Troubleshooting drills: faults injected into servers of ours, seen where they show, repaired."""
