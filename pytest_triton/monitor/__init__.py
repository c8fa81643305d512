"""What a server says about itself: metrics scrapes and their differences."""
