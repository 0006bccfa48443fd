"""Working jobs: deciding as functions of values, and the loop that calls them."""
