"""A page for the browser that shows what fills a zip, or what changed between two."""
