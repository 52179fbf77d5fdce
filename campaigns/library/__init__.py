"""What marketers keep beside templates: snippets, offers, the look of letters; and what is checked before sending."""
