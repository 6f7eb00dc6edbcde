"""The therapy plan: a telesurgery robot against table 2 and the behaviours of chapter 4."""
