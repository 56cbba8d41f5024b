"""Published corruptions of pictures, and collections of digits that nothing trains on."""
