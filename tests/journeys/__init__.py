"""The whole hub on real input: real processes, real servers, real HTTP and SMTP; only the providers are played."""
