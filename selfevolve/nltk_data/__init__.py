"""The two data files of NLTK that scores need: where they are, whether they are usable, how to get them."""
