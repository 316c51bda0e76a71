"""Show, Attend and Tell: sentences about pictures, written while looking; attention soft, or hard and learned in an environment."""
