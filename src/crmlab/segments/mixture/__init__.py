"""Classes of customers who behave alike, by mixtures and by k-means: whether there are any, how many, which."""
