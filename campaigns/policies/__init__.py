"""Rules of the house for everything that is sent: how often, at what hours, and when too much goes wrong."""
