"""The inbox page: what people with an api_token see and do in a browser."""
