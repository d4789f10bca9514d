"""What a person does to a fold from outside: looks, checks, saves, restores, erases."""
