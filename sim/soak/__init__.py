"""Random products on random designs, for as long as one likes: everything that comes out is compared with golden."""
