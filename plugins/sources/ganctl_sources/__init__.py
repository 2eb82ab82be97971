"""Pictures from this machine: folders, zips, and the MNIST family."""
