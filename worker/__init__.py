"""Programs and time: what is due is found in Mongo and done."""
