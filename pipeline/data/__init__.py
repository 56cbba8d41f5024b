"""Where pictures come from, and how splits, strips and scenes are made of them."""
