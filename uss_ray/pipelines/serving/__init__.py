"""The service on Ray Serve: fronts that speak HTTP, and separators behind them."""
