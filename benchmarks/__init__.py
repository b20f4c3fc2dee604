"""Cost of a scrape on real servers, next to a bare client or a peer in the same run."""
