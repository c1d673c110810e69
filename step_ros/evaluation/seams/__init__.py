"""How smoothly chunks follow each other, by the way in which they are sent."""
