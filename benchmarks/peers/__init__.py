"""The peers: what a user would otherwise write, each as small as it can honestly be."""
