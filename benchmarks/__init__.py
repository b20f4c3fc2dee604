"""What a scrape costs, measured on real servers, beside a bare client or a peer in the same run."""
