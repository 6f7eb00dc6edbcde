"""HTML report, plots, JUnit and Allure results, terminal and live display of a run."""
