"""What a team of colleagues needs beyond coming in: letters to them, their leaving, a second factor, who did what."""
