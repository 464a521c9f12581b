"""What measurements and pictures of pages share: a browser, and made-up run directories."""
