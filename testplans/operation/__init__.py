"""Before, during and after an operation."""
