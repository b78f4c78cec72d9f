"""Known brands and their reference vectors: the nearest of them to a crop, and the folder that holds them."""
