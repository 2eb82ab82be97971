"""The augmentations of StyleGAN2-ADA (Karras et al. 2020b, arXiv:2006.06676, appendix B)."""
