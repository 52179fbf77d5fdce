"""The desk in a real browser on a real web and worker process: live, by keyboard, in both languages."""
