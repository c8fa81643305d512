"""The checks, a module for each family; they are found by being here."""
