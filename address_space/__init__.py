"""What the plant is: points, devices and their process image, and how OPC UA shows them. Imports nothing."""
