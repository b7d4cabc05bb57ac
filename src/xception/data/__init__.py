"""Where images come from and how one is decoded."""
