"""What Spanledger ships to those who test with it."""
