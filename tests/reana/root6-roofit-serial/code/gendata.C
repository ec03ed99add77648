// A signal over a falling background.
void gendata(int events, const char *target) {
  TFile file(target, "recreate");
  TH1D mass("mass", "mass", 50, 0, 10);
  TRandom3 random(7);
  for (int event = 0; event < events; event++)
    mass.Fill(event % 4 ? random.Exp(4) : random.Gaus(5, 0.4));
  mass.Write();
}
