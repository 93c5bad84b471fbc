"""What the reports of every paper share: its tables beside ours, its data, its samples."""
