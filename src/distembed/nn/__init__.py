"""Network layers and linear algebra that encoders and generators share."""
