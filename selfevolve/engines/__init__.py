"""What writes texts: the local decoder, servers, a Ray cluster."""
