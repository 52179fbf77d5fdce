"""One message to many people: planned once into the ledger, handed over at a rate, paused and resumed at will."""
