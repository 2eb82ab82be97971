"""Pictures from the web: Spotify, Kaggle, the Cover Art Archive, and lists of addresses."""
