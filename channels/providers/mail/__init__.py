"""E-mail, whoever carries it: reading and writing of messages, shared by the providers in the folders below."""
