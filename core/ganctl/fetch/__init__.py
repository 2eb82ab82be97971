"""Pictures from the web into a folder: listed lazily, checked, resumable, each asked for once."""
