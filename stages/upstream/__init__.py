"""Files of others, fetched at a pinned commit: resumable download, verification, archives."""
