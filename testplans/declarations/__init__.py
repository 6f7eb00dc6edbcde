"""What only a report can answer: EMC, exposure, licences, operator training."""
