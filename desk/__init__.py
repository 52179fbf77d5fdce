"""The door for people and their programs: pages, REST and the live stream."""
