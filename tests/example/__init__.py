"""An application that exposes the metrics of the contract, as an application of yours would."""
