// A spectrum of transverse momenta.
void runEx01() {
  TFile file("AnalysisResults.root", "recreate");
  TH1D pt("pt", "pt", 20, 0, 20);
  std::ifstream events("data/AliESDs.txt");
  for (double value; events >> value;)
    pt.Fill(value / 10);
  pt.Write();
}
