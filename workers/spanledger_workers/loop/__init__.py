"""The closed loop: scores of a route's primary in, the route's state out."""
