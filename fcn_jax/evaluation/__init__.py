"""What is counted on images, and the figures of it."""
