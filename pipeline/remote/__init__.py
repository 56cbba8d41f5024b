"""Files from the network, a mirror or a cache, and archives that are read within bounds."""
