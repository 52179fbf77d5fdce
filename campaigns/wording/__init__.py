"""What campaigns say beyond plain texts: blocks of e-mails, snippets, coupons, and what is checked about all of it."""
