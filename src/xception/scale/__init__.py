"""One task on many machines, by way of what spreads it over them."""
