"""A reproducible pipeline that reads strips of handwritten digits and classifies CIFAR-10 pictures."""
