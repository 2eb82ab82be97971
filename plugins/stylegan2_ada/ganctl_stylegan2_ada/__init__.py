"""StyleGAN2-ADA: a style-based generator, and augmentation of what the discriminator sees."""
